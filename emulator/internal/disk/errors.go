package disk

import "fmt"

// LockedError reports that the folder is already open, in another process or in this one.
type LockedError struct {
	Dir string
	Err error
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s is in use: stop the other process that has it open, or choose another folder (%v)", e.Dir, e.Err)
}

func (e *LockedError) Unwrap() error { return e.Err }

// KindError reports that the folder holds another kind of data. Got is empty if the data has no format record.
type KindError struct {
	Dir, Got, Want string
}

func (e *KindError) Error() string {
	got := e.Got
	if got == "" {
		got = "unknown"
	}
	return fmt.Sprintf("%s holds %s data, not %s: choose another folder", e.Dir, got, e.Want)
}

// VersionError reports that the data is in a format that this program does not read.
type VersionError struct {
	Dir       string
	Got, Want int
}

func (e *VersionError) Error() string {
	if e.Got > e.Want {
		return fmt.Sprintf("%s is in format %d, newer than this program's %d: update the program, or choose another folder", e.Dir, e.Got, e.Want)
	}
	return fmt.Sprintf("%s is in format %d, older than this program's %d: move the folder away to start empty", e.Dir, e.Got, e.Want)
}

// CorruptError reports that the data is damaged and cannot be read.
type CorruptError struct {
	Dir string
	Err error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged: move the folder away to start empty, and save it for a diagnosis (%v)", e.Dir, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// FullError reports that the disk has too little space. A write that fails with it may still take place when there is
// space again, if Waiting is set.
type FullError struct {
	Dir        string
	Free, Need uint64 // bytes; Free is zero if a write found no space at all
	Waiting    bool
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the disk of %s is full (%d MiB of the %d MiB that are needed are free): free some space", e.Dir, e.Free>>20, e.Need>>20)
}
