package disk

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

const (
	// reserveBytes must be free on the disk, or writes are refused. Pebble needs the space for its own work: it copies
	// what was written from the log to tables.
	reserveBytes = 16 << 20
	// retryInterval is the time between two attempts of a write for which there was no space.
	retryInterval = 50 * time.Millisecond
	// While plentyBytes more than the reserve are free, the disk is asked once in plentyInterval, and not before each
	// write. No disk takes so much in that time.
	plentyBytes    = 64 << 20
	plentyInterval = 10 * time.Millisecond
)

// space waits for space on the disk of one folder. It is safe for concurrent use.
type space struct {
	fs  vfs.FS
	dir string
	log *zap.Logger

	plentyAt atomic.Int64 // when the disk was last found to have plenty of space, in nanoseconds
	refusing atomic.Bool  // whether the log says that the disk is full

	// writing is held for reading by each write, but not while the write waits for space, and for writing once the
	// folder is fenced.
	writing sync.RWMutex

	mu      sync.Mutex
	waiting int           // writes that wait for space
	full    chan struct{} // closed while writes wait
}

func newSpace(fs vfs.FS, dir string, log *zap.Logger) *space {
	return &space{fs: fs, dir: dir, log: log, full: make(chan struct{})}
}

// retry calls write until it finds space. Pebble would end the process if it got the error.
func (s *space) retry(write func() error) error {
	err := s.try(write)
	if !isDiskFull(err) {
		return err
	}
	s.beginWait()
	defer s.endWait()
	for isDiskFull(err) {
		time.Sleep(retryInterval)
		err = s.try(write)
	}
	return err
}

func (s *space) try(write func() error) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	return write()
}

// fence makes all later writes wait for ever. It returns when the last active write has ended.
func (s *space) fence() { s.writing.Lock() }

func (s *space) beginWait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting++; s.waiting == 1 {
		s.plentyAt.Store(0)
		close(s.full)
	}
}

func (s *space) endWait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting--; s.waiting == 0 {
		s.full = make(chan struct{})
	}
}

func (s *space) fullChannel() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

// checkWrite is check for one write. It asks a disk with plenty of space rarely, and logs when the disk gets full and
// when it has space again.
func (s *space) checkWrite() error {
	now := time.Now().UnixNano()
	if now-s.plentyAt.Load() < int64(plentyInterval) {
		return nil
	}
	err := s.check(0)
	_, full := errors.AsType[*FullError](err)
	if s.refusing.Swap(full) != full {
		if full {
			s.log.Warn("writes are refused", zap.Error(err))
		} else {
			s.log.Info("the disk has space again: writes are accepted", zap.String("dir", s.dir))
		}
	}
	if err == nil && s.check(plentyBytes) == nil {
		s.plentyAt.Store(now)
	}
	return err
}

// check returns a *FullError if a write waits for space, or if less than the reserve and extra bytes are free.
func (s *space) check(extra uint64) error {
	select {
	case <-s.fullChannel():
		return &FullError{Dir: s.dir, Need: reserveBytes + extra}
	default:
	}
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err == nil && usage.AvailBytes < reserveBytes+extra {
		return &FullError{Dir: s.dir, Free: usage.AvailBytes, Need: reserveBytes + extra}
	}
	return err
}

// isDiskFull reports whether an error means that the disk, or the quota of the user, is full.
func isDiskFull(err error) bool {
	return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT)
}
