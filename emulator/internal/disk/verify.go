package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// progressInterval is the time between two lines in the log about a check that takes long.
const progressInterval = 5 * time.Second

// verifyTables reads all tables and returns a *CorruptError if one is damaged. Pebble would find the damage only when
// it needs the table. It takes some two seconds of CPU time for each gigabyte, on all CPUs, if the disk is fast enough.
func verifyTables(o Options, db *pebble.DB, po *pebble.Options) error {
	levels, err := db.SSTables()
	if err != nil {
		return openError(o.Dir, err)
	}
	tables := slices.Concat(levels...)
	var total uint64
	for _, table := range tables {
		total += table.Size
	}
	began := time.Now()
	var done atomic.Uint64
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, table := range tables {
		g.Go(func() error {
			name := fmt.Sprintf("%06d.sst", uint64(table.BackingSSTNum))
			err := verifyTable(filepath.Join(o.Dir, name), po)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // a compaction has read and replaced the table
				return &CorruptError{Dir: o.Dir, Err: fmt.Errorf("%s: %w", name, err)}
			}
			done.Add(table.Size)
			select {
			case <-progress.C:
				o.Logger.Info("checking the data", zap.String("dir", o.Dir), zap.Duration("since", time.Since(began)),
					zap.Uint64("checkedMiB", done.Load()>>20), zap.Uint64("ofMiB", total>>20))
			default:
			}
			return nil
		})
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
