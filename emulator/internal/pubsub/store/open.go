package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/disk"
)

// formatVersion goes up with every change of keys or records.
const formatVersion = 1

// blockBytes is how much of a table is read at once.
const blockBytes = 32 << 10

func openDB(dir string) (*pebble.DB, error) {
	o := &pebble.Options{
		// Most messages are acknowledged before a memtable is full, and those
		// that are not before their table is merged with others: there is no
		// hurry to write memtables out or to merge tables.
		MemTableSize:          32 << 20,
		L0CompactionThreshold: 12,
		L0StopWritesThreshold: 48,
		CacheSize:             32 << 20,
	}
	// Backlogs are read in order, so one read of a table brings many messages.
	o.Levels[0].BlockSize = blockBytes
	// Most messages are read once and then deleted, so disk is traded for CPU.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return disk.Open(dir, "pubsub", formatVersion, o)
}
