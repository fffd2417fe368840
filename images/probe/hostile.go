package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const probePath = "/probe"

// writeStdout writes the given number of bytes to standard output.
func writeStdout(args []string) error {
	remaining, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for remaining > 0 {
		n, err := os.Stdout.Write(chunk[:min(remaining, int64(len(chunk)))])
		if err != nil {
			return err
		}
		remaining -= int64(n)
	}
	return nil
}

// ignoreSignals ignores every signal that can be ignored and never ends.
func ignoreSignals([]string) error {
	signal.Ignore()
	fmt.Println("ignoring signals")
	for {
		time.Sleep(time.Hour)
	}
}

// allocate allocates the given number of MiB and writes to all of them.
func allocate(args []string) error {
	mib, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	blocks := make([][]byte, 0, mib)
	for range mib {
		blocks = append(blocks, bytes.Repeat([]byte{1}, 1<<20))
	}
	fmt.Println("allocated", len(blocks))
	return nil
}

// allocateInChild runs allocate in a child process and succeeds with any result of it.
func allocateInChild(args []string) error {
	err := exec.CommandContext(context.Background(), probePath, "allocate", args[0]).Run()
	fmt.Println("child:", err)
	return nil
}

// fill writes a file to a directory. The arguments are the directory and the size in MiB.
func fill(args []string) error {
	mib, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	file, err := os.Create(args[0] + "/fill")
	if err != nil {
		return err
	}
	chunk := bytes.Repeat([]byte{1}, 1<<20)
	for range mib {
		if _, err := file.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// forkBomb starts sleeping child processes until that fails, and prints their number.
func forkBomb([]string) error {
	for n := 0; ; n++ {
		_, err := syscall.ForkExec(probePath, []string{probePath, "sleep", "1h"}, &syscall.ProcAttr{})
		if err != nil {
			fmt.Println(n, err)
			return nil
		}
	}
}

// orphan starts a child process with the mode of the arguments and does not wait for it. The child inherits standard
// output.
func orphan(args []string) error {
	child := exec.CommandContext(context.Background(), probePath, args...)
	child.Stdout = os.Stdout
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return child.Start()
}

// spawnOrphans creates the given number of short-lived orphan processes, one after another.
func spawnOrphans(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		if err := exec.CommandContext(context.Background(), probePath, "orphan", "exit", "0").Run(); err != nil {
			return err
		}
	}
	return nil
}

// ioUring tries to create an io_uring and prints the error.
func ioUring([]string) error {
	const ioUringSetup = 425 // on every architecture
	_, _, errno := syscall.Syscall(ioUringSetup, 1, 0, 0)
	fmt.Println(errno)
	return nil
}

// signalInit sends every signal to PID 1.
func signalInit([]string) error {
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if err := syscall.Kill(1, sig); err != nil {
			return fmt.Errorf("signal %d: %w", sig, err)
		}
	}
	fmt.Println("sent")
	return nil
}

// orphanAndIgnoreSignals starts an orphan that ignores signals, and then does the same itself.
func orphanAndIgnoreSignals([]string) error {
	if err := orphan([]string{"ignore-signals"}); err != nil {
		return err
	}
	return ignoreSignals(nil)
}

// killSelf sends a signal to itself and waits.
func killSelf(args []string) error {
	sig, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(sig)); err != nil {
		return err
	}
	select {}
}

// writeStderr writes the given number of bytes and a last line to standard error.
func writeStderr(args []string) error {
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stderr, "%s\nthe end\n", bytes.Repeat([]byte("e"), size))
	return err
}

// fillDirs writes files to each directory until it is full.
func fillDirs(dirs []string) error {
	chunk := bytes.Repeat([]byte{1}, 1<<20)
	var last error
	for _, dir := range dirs {
		for n := 0; ; n++ {
			if last = os.WriteFile(dir+"/"+strconv.Itoa(n), chunk, 0o600); last != nil {
				break
			}
		}
	}
	return last
}

// writeFDs writes to every file descriptor in /proc that it can open.
func writeFDs(args []string) error {
	paths, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return err
	}
	for n := range 16 { // the listing of init's descriptors is empty
		paths = append(paths, "/proc/1/fd/"+strconv.Itoa(n))
	}
	for _, path := range paths {
		if file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0); err == nil {
			_, _ = file.WriteString(args[0])
			_ = file.Close()
		}
	}
	return nil
}
