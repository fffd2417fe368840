package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/internal/emulator/disk"
)

// formatVersion goes up with every change of keys or records.
const formatVersion = 1

func openDB(dir string) (*pebble.DB, error) {
	return disk.Open(dir, "pubsub", formatVersion, &pebble.Options{
		// Most messages are acknowledged before a memtable is full, and then
		// never reach a table at all.
		MemTableSize: 32 << 20,
		CacheSize:    32 << 20,
	})
}
