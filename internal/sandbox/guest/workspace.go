package guest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// errSnapshotTooLarge means that the packed workspace is larger than the job allows.
var errSnapshotTooLarge = errors.New("the snapshot is too large")

// snapshotWorkspace reports the workspace as a tar, compressed with zstd: regular files, directories and symbolic
// links, with their modes, and with the times of all but the links. The same files give the same bytes. It runs after
// the agent and all its child processes have ended.
func snapshotWorkspace(reports *frame.Writer, maxBytes int64) (sandbox.SnapshotState, error) {
	root, err := os.OpenRoot(sandbox.WorkspaceDir)
	if err != nil {
		return sandbox.SnapshotFailed, nil //nolint:nilerr // the agent decides what it leaves
	}
	defer root.Close()
	out := &snapshotWriter{reports: reports, remaining: maxBytes}
	err = packWorkspace(root, out, capacity(sandbox.WorkspaceDir))
	switch {
	case out.err != nil:
		return "", out.err
	case errors.Is(err, errSnapshotTooLarge):
		return sandbox.SnapshotTooLarge, nil
	case err != nil:
		return sandbox.SnapshotFailed, nil
	case out.written == 0:
		return sandbox.SnapshotEmpty, nil
	default:
		return sandbox.SnapshotComplete, nil
	}
}

// snapshotWriter reports what is written to it.
type snapshotWriter struct {
	reports            *frame.Writer
	remaining, written int64
	err                error // of a report
}

func (w *snapshotWriter) Write(p []byte) (int, error) {
	if w.remaining -= int64(len(p)); w.remaining < 0 {
		return 0, errSnapshotTooLarge
	}
	for part := range slices.Chunk(p, frame.MaxBody) {
		if w.err = w.reports.Write(frame.Report{Kind: frame.Snapshot, Body: part}); w.err != nil {
			return 0, w.err
		}
	}
	w.written += int64(len(p))
	return len(p), nil
}

// capacity returns how many bytes fit into a folder's file system, or a large number if that is unknown.
func capacity(dir string) int64 {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return sandbox.MaxSnapshotBytes
	}
	return int64(fs.Blocks) * fs.Bsize
}

// packer writes a snapshot.
type packer struct {
	archive   *tar.Writer
	remaining int64            // bytes that the files may have when they are unpacked
	linked    map[inode]string // path of a file with several names
}

type inode struct{ dev, ino uint64 }

// packWorkspace writes the snapshot of root to w: nothing, if root has no entry. The error is errSnapshotTooLarge if
// the files would have more than maxUnpacked bytes after a restore, where they have no holes.
func packWorkspace(root *os.Root, w io.Writer, maxUnpacked int64) error {
	names, err := sortedNames(root)
	if err != nil || len(names) == 0 {
		return err
	}
	compressed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	p := &packer{archive: tar.NewWriter(compressed), remaining: maxUnpacked, linked: map[inode]string{}}
	if err := p.packDir(root, "", names, 0); err != nil {
		return err
	}
	return errors.Join(p.archive.Close(), compressed.Close())
}

// packDir packs the entries of a directory, whose path below the workspace is dir.
func (p *packer) packDir(root *os.Root, dir string, names []string, depth int) error {
	for _, name := range names {
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(dir, name), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
		switch {
		case info.Mode().IsRegular():
			err = p.packFile(root, header, name, info)
		case info.Mode()&fs.ModeSymlink != 0:
			header.Typeflag, header.ModTime = tar.TypeSymlink, time.Unix(0, 0)
			if header.Linkname, err = root.Readlink(name); err == nil {
				err = p.archive.WriteHeader(header)
			}
		case info.IsDir() && depth < maxDepth:
			header.Typeflag = tar.TypeDir
			err = p.packSubdir(root, header, name, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) packSubdir(root *os.Root, header *tar.Header, name string, depth int) error {
	if header.Mode&0o500 != 0o500 {
		_ = root.Chmod(name, 0o700) // the agent has locked itself out; the snapshot has its mode
	}
	sub, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	names, err := sortedNames(sub)
	if err != nil {
		return err
	}
	if err := p.archive.WriteHeader(header); err != nil {
		return err
	}
	return p.packDir(sub, header.Name, names, depth+1)
}

func (p *packer) packFile(root *os.Root, header *tar.Header, name string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		id := inode{stat.Dev, stat.Ino}
		if first, ok := p.linked[id]; ok {
			header.Typeflag, header.Linkname = tar.TypeLink, first
			return p.archive.WriteHeader(header)
		}
		p.linked[id] = header.Name
	}
	if p.remaining -= info.Size(); p.remaining < 0 {
		return errSnapshotTooLarge
	}
	if header.Mode&0o400 == 0 {
		_ = root.Chmod(name, 0o600)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := p.archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.CopyN(p.archive, f, info.Size())
	return err
}

func sortedNames(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// restoreWorkspace unpacks a snapshot of packed bytes. It creates nothing outside of the workspace, whatever the
// snapshot contains.
func restoreWorkspace(from io.Reader, packed int64) error {
	limited := &io.LimitedReader{R: from, N: packed}
	root, err := os.OpenRoot(sandbox.WorkspaceDir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unpackWorkspace(root, limited); err != nil {
		return fmt.Errorf("restore the workspace: %w", err)
	}
	_, err = io.Copy(io.Discard, limited) // what follows on the connection is another frame
	return err
}

func unpackWorkspace(root *os.Root, from io.Reader) error {
	compressed, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return err
	}
	defer compressed.Close()
	u := &unpacker{root: root, archive: tar.NewReader(compressed), folder: root, buffer: make([]byte, 64<<10)}
	defer u.leave()
	var dirs []*tar.Header
	for {
		header, err := u.archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		header.Name = strings.TrimSuffix(header.Name, "/")
		if header.Typeflag == tar.TypeDir {
			dirs = append(dirs, header)
		}
		if err := u.unpack(header); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
	// The modes and times of directories come last: an entry changes the time, and may need to write.
	for _, header := range slices.Backward(dirs) {
		if err := errors.Join(root.Chtimes(header.Name, header.ModTime, header.ModTime), root.Chmod(header.Name, permissions(header))); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
	return nil
}

// unpacker unpacks a snapshot. The entries of a folder follow one another, so it stays in the folder of the last one:
// a path from the root costs a system call for each of its parts.
type unpacker struct {
	root    *os.Root
	archive *tar.Reader
	buffer  []byte

	folder *os.Root
	path   string // of folder; empty: it is root
}

// enter makes a folder the current one.
func (u *unpacker) enter(path string) (err error) {
	if path == u.path {
		return nil
	}
	u.leave()
	if path == "" {
		return nil
	}
	folder, err := u.root.OpenRoot(path)
	if err == nil {
		u.folder, u.path = folder, path
	}
	return err
}

// leave makes root the current folder.
func (u *unpacker) leave() {
	if u.path != "" {
		_ = u.folder.Close()
	}
	u.folder, u.path = u.root, ""
}

func (u *unpacker) unpack(header *tar.Header) error {
	if !filepath.IsLocal(header.Name) {
		return errors.New("the path leads out of the workspace")
	}
	dir, name := path.Split(header.Name)
	if err := u.enter(strings.TrimSuffix(dir, "/")); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return u.folder.Mkdir(name, 0o700)
	case tar.TypeSymlink:
		return u.folder.Symlink(header.Linkname, name)
	case tar.TypeLink:
		return u.root.Link(header.Linkname, header.Name)
	case tar.TypeReg:
		f, err := u.folder.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, u.archive, u.buffer)
		if err == nil && permissions(header) != 0o600 {
			err = f.Chmod(permissions(header))
		}
		return errors.Join(err, f.Close(), u.folder.Chtimes(name, header.ModTime, header.ModTime))
	default:
		return fmt.Errorf("entry of type %q", header.Typeflag)
	}
}

func permissions(header *tar.Header) fs.FileMode { return fs.FileMode(header.Mode).Perm() }
