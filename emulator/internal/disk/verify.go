package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"golang.org/x/sync/errgroup"
)

// verifyTables reads all tables and returns a *CorruptError if one is damaged. Pebble would find the damage only when
// it needs the table. Reading takes about a second for each gigabyte.
func verifyTables(dir string, db *pebble.DB, po *pebble.Options) error {
	levels, err := db.SSTables()
	if err != nil {
		return openError(dir, err)
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, level := range levels {
		for _, table := range level {
			g.Go(func() error {
				name := fmt.Sprintf("%06d.sst", uint64(table.BackingSSTNum))
				err := verifyTable(filepath.Join(dir, name), po)
				if err == nil || errors.Is(err, fs.ErrNotExist) { // a compaction has read and replaced it
					return nil
				}
				return &CorruptError{Dir: dir, Err: fmt.Errorf("%s: %w", name, err)}
			})
		}
	}
	return g.Wait()
}

func verifyTable(path string, po *pebble.Options) (err error) {
	f, err := po.FS.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, po.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}
