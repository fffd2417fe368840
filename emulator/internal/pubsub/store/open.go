package store

import (
	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/disk"
)

// formatVersion increases with every change of the keys or records.
const formatVersion = 1

// blockBytes is the size of the blocks in which tables are read.
const blockBytes = 32 << 10

func openDB(dir string, log *zap.Logger) (*disk.DB, error) {
	o := &pebble.Options{
		// Most messages are acknowledged before a memtable is full, and most of the others before their table is
		// merged with another one. So memtables are large and compactions start late.
		MemTableSize:          32 << 20,
		L0CompactionThreshold: 12,
		L0StopWritesThreshold: 48,
		CacheSize:             32 << 20,
	}
	// Backlogs are read in order, so one block holds many of the next messages.
	o.Levels[0].BlockSize = blockBytes
	// Most messages are read once and then deleted: no compression saves CPU time and costs disk space.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return disk.Open(disk.Options{Dir: dir, Kind: "pubsub", Version: formatVersion, Logger: log, Pebble: o})
}
