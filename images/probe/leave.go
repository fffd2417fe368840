package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const out = "/workspace/out"

// leave writes to each path the path itself.
func leave(paths []string) error {
	for _, path := range paths {
		if err := leaveOne(path, []byte(path)); err != nil {
			return err
		}
	}
	return nil
}

func leaveOne(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// leaveLarge writes files of so many MiB, "path size" after "path size".
func leaveLarge(args []string) error {
	for i := 0; i+1 < len(args); i += 2 {
		mib, err := strconv.Atoi(args[i+1])
		if err != nil {
			return err
		}
		if err := leaveOne(args[i], bytes.Repeat([]byte{'l'}, mib<<20)); err != nil {
			return err
		}
	}
	return nil
}

// leaveMany writes so many small files.
func leaveMany(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for i := range n {
		if err := leaveOne(out+"/"+strconv.Itoa(i), nil); err != nil {
			return err
		}
	}
	return nil
}

// leaveOdd leaves one plain file among what must not be passed on, and prints
// how many of those there are.
func leaveOdd([]string) error {
	if err := leaveOne(out+"/plain", []byte("plain")); err != nil {
		return err
	}
	odd := []func() error{
		func() error { return os.Symlink("/etc/passwd", out+"/link") },
		func() error { return os.Symlink("plain", out+"/link-within") },
		func() error { return os.Symlink("/home/agent", out+"/folder-link") },
		func() error { return os.Symlink("/proc/1/environ", out+"/proc-link") },
		func() error { return syscall.Mkfifo(out+"/pipe", 0o666) },
		func() error { return leaveOne(out+"/new\nline", nil) },
		func() error { return leaveOne(out+"/not\xffutf-8", nil) },
		func() error { return leaveOne(out+`/..\windows`, nil) },
		func() error { return leaveOne(out+strings.Repeat("/long"+strings.Repeat("x", 200), 6), nil) },
		func() error { return os.WriteFile(out+"/unreadable", nil, 0) },
		func() error { // larger than may come back, and no byte of memory
			if err := leaveOne(out+"/sparse", nil); err != nil {
				return err
			}
			return os.Truncate(out+"/sparse", 256<<20)
		},
	}
	made := 0
	for _, make := range odd {
		switch err := make(); {
		case err == nil:
			made++
		default:
			fmt.Fprintln(os.Stderr, err)
		}
	}
	fmt.Println(made)
	return nil
}

// link makes the second argument a symbolic link to the first.
func link(args []string) error { return os.Symlink(args[0], args[1]) }

// tick writes a byte every so often, so many times.
func tick(args []string) error {
	every, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for range n {
		fmt.Print(".")
		time.Sleep(every)
	}
	return nil
}
