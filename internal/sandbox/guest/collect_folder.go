package guest

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// errFolderUnusable means that a folder cannot be collected as a whole: it is too large, or not readable.
var errFolderUnusable = errors.New("the folder cannot be collected")

// collectFolder reports the regular files below a folder as one output file, a tar at the path of the folder. So either
// all of them arrive or none. It packs them twice: the first time shows whether they can be packed. Nothing changes in
// between, because all processes of the agent have ended.
func (c *collector) collectFolder(dir string) error {
	if dir == "" {
		return nil
	}
	root := c.openDir(dir, writableDirs)
	if root == nil {
		return nil
	}
	defer root.Close()
	limit := min(c.remainingBytes, sandbox.MaxFolderBytes)
	packed := &limitedWriter{to: io.Discard, remaining: limit}
	if files, err := packFolder(root, packed); err != nil || files == 0 || c.remainingFiles == 0 {
		return nil //nolint:nilerr // the agent decides what it leaves
	}
	c.remainingBytes -= limit - packed.remaining
	c.remainingFiles--
	if err := c.reports.Write(frame.Report{Kind: frame.FileStart, Mode: 0o600, Body: []byte(dir)}); err != nil {
		return err
	}
	_, err := packFolder(root, contentWriter{c.reports})
	return err
}

// limitedWriter counts what is written to it.
type limitedWriter struct {
	to        io.Writer
	remaining int64
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.remaining -= int64(len(p)); w.remaining < 0 {
		return 0, errFolderUnusable
	}
	return w.to.Write(p)
}

// contentWriter reports the content of a file.
type contentWriter struct{ reports *frame.Writer }

func (w contentWriter) Write(p []byte) (int, error) {
	for part := range slices.Chunk(p, frame.MaxBody) {
		if err := w.reports.Write(frame.Report{Kind: frame.FileContent, Body: part}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// folderPacker writes the regular files of a folder into a tar, in the order of their paths. It follows no link and
// packs none.
type folderPacker struct {
	archive *tar.Writer
	files   int
	entries int
}

func packFolder(root *os.Root, to io.Writer) (files int, err error) {
	p := folderPacker{archive: tar.NewWriter(to)}
	if err := p.packDir(root, "", 0); err != nil {
		return 0, err
	}
	return p.files, p.archive.Close()
}

func (p *folderPacker) packDir(root *os.Root, dir string, depth int) error {
	names, err := sortedNames(root)
	if err != nil {
		return err
	}
	if p.entries += len(names); p.entries > sandbox.MaxOutputFiles || depth > maxDepth {
		return errFolderUnusable
	}
	for _, name := range names {
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		filePath := path.Join(dir, name)
		switch {
		case !validPath(filePath):
			return errFolderUnusable
		case info.Mode().IsRegular():
			err = p.packFile(root, name, &tar.Header{
				Typeflag: tar.TypeReg, Name: filePath, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX,
			})
		case info.IsDir():
			err = p.packSubdir(root, name, filePath, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *folderPacker) packSubdir(root *os.Root, name, filePath string, depth int) error {
	sub, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	return p.packDir(sub, filePath, depth+1)
}

func (p *folderPacker) packFile(root *os.Root, name string, header *tar.Header) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.archive.WriteHeader(header); err != nil {
		return err
	}
	p.files++
	_, err = io.CopyN(p.archive, f, header.Size)
	return err
}
