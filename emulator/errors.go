package emulator

import "github.com/airlock-run/airlock/emulator/internal/disk"

// The errors of a folder that an emulator cannot open. Start, pubsub.Open and firestore.Open return them, wrapped;
// errors.As finds them.
type (
	// LockedError reports that the folder is already open, in another process or in this one.
	LockedError = disk.LockedError
	// KindError reports that the folder holds another kind of data.
	KindError = disk.KindError
	// VersionError reports that the data is in a format that this version of the emulators does not read.
	VersionError = disk.VersionError
	// CorruptError reports that the data is damaged and cannot be read.
	CorruptError = disk.CorruptError
	// FullError reports that the disk has too little space to start.
	FullError = disk.FullError
)
