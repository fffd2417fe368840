// Package cgroup reads the control group of a container from inside the container. Its input is the file system that
// is mounted at /sys/fs/cgroup, of version 2 or version 1. Its output is the limits of the group and the group's usage.
// It never writes to a control group and never fails: a value that the kernel does not show is reported as unknown.
package cgroup

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Root returns the control group file system of this process.
func Root() fs.FS { return os.DirFS("/sys/fs/cgroup") }

// readNumber reads a file with one number. ok is false if the file is missing or has another content.
func readNumber(root fs.FS, name string) (n int64, ok bool) {
	return parseNumber(readString(root, name))
}

func readString(root fs.FS, name string) string {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func parseNumber(s string) (n int64, ok bool) {
	if s == "max" {
		return Unlimited, true
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
