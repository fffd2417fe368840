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

	"github.com/airlock-run/airlock/internal/sandbox"
)

// instance is the registration of one running Driver below the socket folder:
//
//	DIR/<instance>.lock   locked with flock while the process runs
//	DIR/<instance>/       one file for each of its containers, with the container's user ID
//	DIR/<container>/      is mounted into that container, with sandboxFiles and the egress socket
//	DIR/<user ID>.uid     a link to the container that has the user ID; see uids.go
//
// A container sees the path of its directory, which does not show the executor that it belongs to.
//
// The kernel releases the lock when the process ends, for any reason. Other executors then know that they may remove
// what the process left.
type instance struct {
	dir  string // the socket folder, shared by all instances
	name string
	lock *os.File
}

const lockSuffix = ".lock"

// errInstanceLocked means that another process holds an instance's lock.
var errInstanceLocked = errors.New("executor is running")

// registerInstance creates a new instance in dir. Only this user may access dir, because a process that can connect to
// a socket in it can use the job's egress.
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

// lockInstance locks an instance, which may belong to a dead process. It returns errInstanceLocked if a process holds
// the lock.
func lockInstance(dir, name string) (*instance, error) {
	path := filepath.Join(dir, name+lockSuffix)
	for {
		lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock executor instance: %w", err)
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			_ = lock.Close()
			return nil, errInstanceLocked
		}
		if err != nil {
			_ = lock.Close()
			return nil, fmt.Errorf("lock executor instance: %w", err)
		}
		if sameFile(lock, path) {
			return &instance{dir: dir, name: name, lock: lock}, nil
		}
		// A reaper removed the file between OpenFile and Flock. The lock is on a file without a name.
		_ = lock.Close()
	}
}

func sameFile(open *os.File, path string) bool {
	a, errA := open.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// listInstances returns the names of all instances in dir, running or dead.
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

// containerDir returns the directory of one of the instance's containers. name is a token.
func (i *instance) containerDir(name string) string { return filepath.Join(i.dir, name) }

func (i *instance) containerFile(name string) string { return filepath.Join(i.path(), name) }

// makeContainerDir creates the directory of a container and claims a user ID for it, or returns errNoFreeUID.
func (i *instance) makeContainerDir(name string, uids sandbox.UIDRange) (uid int, err error) {
	dir := i.containerDir(name)
	uid, err = i.claimUID(name, uids)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	for path, content := range sandboxFiles(uid) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(content), 0o644)
		}
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("socket folder: %w", err), i.removeContainerDir(name))
	}
	return uid, nil
}

// removeContainerDir removes what makeContainerDir created, the container's own file last: another call then finds the
// rest. It is not an error if that does not exist.
func (i *instance) removeContainerDir(name string) error {
	if err := errors.Join(os.RemoveAll(i.containerDir(name)), i.releaseUID(name)); err != nil {
		return err
	}
	return os.RemoveAll(i.containerFile(name))
}

// listContainers returns the names of the instance's containers that have files.
func (i *instance) listContainers() ([]string, error) {
	entries, err := os.ReadDir(i.path())
	if err != nil {
		return nil, ignoreNotExist(err) // after a reboot, or if a reaper was killed
	}
	names := make([]string, len(entries))
	for n, entry := range entries {
		names[n] = entry.Name()
	}
	return names, nil
}

// remove removes the instance's files. The lock is the last one, so that no other process gets it before.
func (i *instance) remove() error {
	names, err := i.listContainers()
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, i.removeContainerDir(name))
	}
	return errors.Join(append(errs, os.RemoveAll(i.path()), os.Remove(i.lock.Name()), i.lock.Close())...)
}

// unlock releases the lock and leaves the files, so that a reaper finds them.
func (i *instance) unlock() error { return i.lock.Close() }

const tokenBytes = 6

// newToken returns a random name for an instance or a container. It is short because it is in the path of a unix
// socket.
func newToken() string {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails, see its documentation
	return hex.EncodeToString(raw)
}

func isToken(name string) bool {
	raw, err := hex.DecodeString(name)
	return err == nil && len(raw) == tokenBytes
}
