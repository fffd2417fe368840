package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const outputDir = "/workspace/out"

// writePaths creates a file at each path, with the path as its content.
func writePaths(paths []string) error {
	for _, path := range paths {
		if err := writeFile(path, []byte(path)); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// writeLargeFiles writes a file for each pair of a path and a size in MiB.
func writeLargeFiles(args []string) error {
	for i := 0; i+1 < len(args); i += 2 {
		mib, err := strconv.Atoi(args[i+1])
		if err != nil {
			return err
		}
		if err := writeFile(args[i], bytes.Repeat([]byte{'l'}, mib<<20)); err != nil {
			return err
		}
	}
	return nil
}

// workUntilTerminated writes an output file and prints a line, and again after SIGTERM. Its exit code is then 7.
func workUntilTerminated([]string) error {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	if err := writeFile(outputDir+"/so-far", []byte("half")); err != nil {
		return err
	}
	fmt.Println("working")
	<-terminated
	if err := writeFile(outputDir+"/notes", []byte("stopped")); err != nil {
		return err
	}
	fmt.Println("terminated")
	os.Exit(7)
	return nil
}

// writeManyFiles writes the given number of empty files.
func writeManyFiles(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for i := range n {
		if err := writeFile(outputDir+"/"+strconv.Itoa(i), nil); err != nil {
			return err
		}
	}
	return nil
}

// writeIrregularFiles writes one regular file and many entries that must not leave the sandbox. It prints the number of
// those entries.
func writeIrregularFiles([]string) error {
	if err := writeFile(outputDir+"/plain", []byte("plain")); err != nil {
		return err
	}
	create := []func() error{
		func() error { return os.Symlink("/etc/passwd", outputDir+"/link") },
		func() error { return os.Symlink("plain", outputDir+"/link-within") },
		func() error { return os.Symlink("/home/agent", outputDir+"/dir-link") },
		func() error { return os.Symlink("/proc/1/environ", outputDir+"/proc-link") },
		func() error { return syscall.Mkfifo(outputDir+"/pipe", 0o666) },
		func() error { return writeFile(outputDir+"/new\nline", nil) },
		func() error { return writeFile(outputDir+"/not\xffutf-8", nil) },
		func() error { return writeFile(outputDir+`/..\windows`, nil) },
		func() error { return writeFile(outputDir+strings.Repeat("/long"+strings.Repeat("x", 200), 6), nil) },
		func() error { return os.WriteFile(outputDir+"/unreadable", nil, 0) },
		func() error { // larger than the limit, but without memory
			if err := writeFile(outputDir+"/sparse", nil); err != nil {
				return err
			}
			return os.Truncate(outputDir+"/sparse", 256<<20)
		},
	}
	created := 0
	for _, createOne := range create {
		if err := createOne(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		created++
	}
	fmt.Println(created)
	return nil
}

// symlink creates a symbolic link at the second argument, to the first.
func symlink(args []string) error { return os.Symlink(args[0], args[1]) }

// printDots prints a dot in each interval. The arguments are the interval and the number of dots.
func printDots(args []string) error {
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
