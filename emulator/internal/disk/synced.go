package disk

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Pebble takes an incomplete record at the end of a log or MANIFEST for one that a crash has interrupted, and drops it
// with all that follows. That is right for what was never synced. To find damage in what was, the file syncedName
// contains the length and the checksum of the synced part of each of these files.
//
// It is written after each sync and is not synced itself. So after a crash of the machine it may describe an earlier
// sync, of which it holds as well: these files only grow, and a new use of a file has a new name. It is one sector, so
// a disk writes all of it or nothing.
const (
	syncedName = "synced"
	sectorSize = 512
	// maxSynced is the number of files for which there is space in the sector. Pebble rarely has more than four.
	maxSynced = 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// syncedFiles are the logs and MANIFESTs of a folder. It is safe for concurrent use.
type syncedFiles struct {
	record *os.File

	mu    sync.Mutex
	files map[string]syncedPart // by name
}

// syncedPart is the part of a file up to its last sync.
type syncedPart struct {
	length   uint64
	checksum uint32
}

// syncedFile is one use of a file. One goroutine uses it. A nil one records nothing.
type syncedFile struct {
	all     *syncedFiles
	name    string
	current syncedPart // including what is not synced
}

// openSynced compares the files of a folder with what was synced, and returns an error if they differ.
func openSynced(dir string) (*syncedFiles, error) {
	record, err := os.OpenFile(filepath.Join(dir, syncedName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &syncedFiles{record: record, files: map[string]syncedPart{}}
	if err := s.load(dir); err != nil {
		return nil, errors.Join(err, record.Close())
	}
	return s, nil
}

func (s *syncedFiles) load(dir string) error {
	sector := make([]byte, sectorSize)
	n, err := s.record.ReadAt(sector, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if s.files, err = decodeSynced(sector[:n]); err != nil {
		return &CorruptError{Dir: dir, Err: err}
	}
	for name, part := range s.files {
		err := part.verify(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // Pebble removed it, and a crash left an earlier record
			delete(s.files, name)
		case errors.Is(err, errDamaged):
			return &CorruptError{Dir: dir, Err: err}
		case err != nil:
			return err
		}
	}
	return nil
}

// errDamaged reports a file that is not as it was when it was synced.
var errDamaged = errors.New("it differs from what was synced")

func (p syncedPart) verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.LimitReader(f, int64(p.length)))
	if err != nil {
		return err
	}
	if uint64(n) != p.length || sum.Sum32() != p.checksum {
		return fmt.Errorf("%s: %w", filepath.Base(path), errDamaged)
	}
	return nil
}

// track begins to record a file that is written from its beginning. It returns nil for other files than logs and
// MANIFESTs. A nil receiver records nothing.
func (s *syncedFiles) track(name string) *syncedFile {
	if s == nil || !strings.HasSuffix(name, ".log") && !strings.HasPrefix(name, "MANIFEST-") {
		return nil
	}
	s.forget(name)
	return &syncedFile{all: s, name: name}
}

// forget removes a file, before its content changes in any other way than by growing.
func (s *syncedFiles) forget(name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[name]; !ok {
		return
	}
	delete(s.files, name)
	_ = s.write() // a sector that exists needs no space; without it, a later start finds that the file is missing
}

func (f *syncedFile) written(p []byte) {
	if f == nil {
		return
	}
	f.current.length += uint64(len(p))
	f.current.checksum = crc32.Update(f.current.checksum, castagnoli, p)
}

// record records that all that was written is on disk.
func (f *syncedFile) record() error {
	if f == nil {
		return nil
	}
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.all.files[f.name] = f.current
	return f.all.write()
}

// write writes the sector. The caller holds mu.
func (s *syncedFiles) write() error {
	_, err := s.record.WriteAt(encodeSynced(s.files), 0)
	return err
}

func (s *syncedFiles) close() error {
	if s == nil {
		return nil
	}
	return s.record.Close()
}

// encodeSynced returns a sector: the checksum of the rest, the number of files, and for each its name, length and
// checksum. If there are too many files, it leaves out those with the lowest names, which are the oldest.
func encodeSynced(files map[string]syncedPart) []byte {
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return cmp.Compare(b, a) })
	names = names[:min(len(names), maxSynced)]
	b := append(make([]byte, 4, sectorSize), byte(len(names)))
	for _, name := range names {
		b = append(b, byte(len(name)))
		b = append(b, name...)
		b = binary.BigEndian.AppendUint64(b, files[name].length)
		b = binary.BigEndian.AppendUint32(b, files[name].checksum)
	}
	b = b[:sectorSize]
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

var errSyncedRecord = errors.New("the record of what was synced is not readable")

// decodeSynced decodes a sector. One that is missing or zero was never on disk.
func decodeSynced(b []byte) (map[string]syncedPart, error) {
	files := map[string]syncedPart{}
	if len(b) < sectorSize || !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return files, nil
	}
	if binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, errSyncedRecord
	}
	n, b := b[4], b[5:]
	for range n {
		size := 1 + int(b[0])
		name := string(b[1:size])
		files[name] = syncedPart{length: binary.BigEndian.Uint64(b[size:]), checksum: binary.BigEndian.Uint32(b[size+8:])}
		b = b[size+12:]
	}
	return files, nil
}
