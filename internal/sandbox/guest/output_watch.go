package guest

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// writePause is the least time between two wake-ups for writes: what an agent writes in between comes together.
const writePause = 2 * time.Millisecond

// watchWrites sends soon after a write to one of the files, until stop is called. A wake-up says nothing about how much
// was written. It never sends where the kernel or the runtime does not tell: there output is read every pollInterval.
func watchWrites(files ...*os.File) (written <-chan struct{}, stop func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, func() {}
	}
	events := os.NewFile(uintptr(fd), "inotify")
	for _, f := range files {
		_, _ = unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.IN_MODIFY)
	}
	wake := make(chan struct{}, 1)
	go func() {
		for buffer := make([]byte, 4<<10); ; {
			if _, err := events.Read(buffer); err != nil {
				return // closed
			}
			select {
			case wake <- struct{}{}:
			default:
			}
			time.Sleep(writePause)
		}
	}()
	return wake, func() { _ = events.Close() }
}
