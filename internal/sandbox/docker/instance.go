package docker

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// instance is one living Driver's place below the socket folder:
//
//	DIR/<instance>.lock   held with flock for as long as the process lives
//	DIR/<instance>/       one folder for each of its containers
//
// The kernel lets go of the lock when the process dies, however it dies, which
// is how others know that what it left may be removed.
type instance struct {
	dir  string // of all instances
	name string
	lock *os.File
}

const lockSuffix = ".lock"

// errAlive says that another process holds an instance's lock.
var errInstanceLocked = errors.New("executor is alive")

// enroll makes a new place in dir. Only this user may look into dir: the
// sockets in it are ways out for whoever can connect to them.
func registerInstance(dir string) (*instance, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("socket folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("socket folder: %w", err)
	}
	if err := checkSocketPath(dir); err != nil {
		return nil, err
	}
	i, err := lockInstance(dir, newToken())
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(i.path(), 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("socket folder: %w", err), i.remove())
	}
	return i, nil
}

// claim takes the lock of a name, which may be a dead instance's. It fails
// with errAlive when somebody holds it.
func lockInstance(dir, name string) (*instance, error) {
	path := filepath.Join(dir, name+lockSuffix)
	for {
		lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock of an executor: %w", err)
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			_ = lock.Close()
			return nil, errInstanceLocked
		}
		if err != nil {
			_ = lock.Close()
			return nil, fmt.Errorf("lock of an executor: %w", err)
		}
		if sameFile(lock, path) {
			return &instance{dir: dir, name: name, lock: lock}, nil
		}
		// A reaper removed the file between our opening and our locking it.
		_ = lock.Close()
	}
}

func sameFile(open *os.File, path string) bool {
	a, errA := open.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// enrolled lists the instances that have a place in dir, dead or alive.
func listInstances(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("socket folder: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), lockSuffix); ok && isToken(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (i *instance) path() string { return filepath.Join(i.dir, i.name) }

// leave removes the place, and the lock last.
func (i *instance) remove() error {
	return errors.Join(os.RemoveAll(i.path()), os.Remove(i.lock.Name()), i.lock.Close())
}

// abandon lets go of the place but leaves it for a reaper to find.
func (i *instance) unlock() error { return i.lock.Close() }

const tokenBytes = 6

// token names instances and containers: random, and short, for the path of a
// unix socket is.
func newToken() string {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails, see its documentation
	return hex.EncodeToString(raw)
}

func isToken(name string) bool {
	raw, err := hex.DecodeString(name)
	return err == nil && len(raw) == tokenBytes
}
