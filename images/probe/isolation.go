package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// searchSecret searches for a secret in everything that it can read. The arguments are the two halves of the secret, so
// that the program's own command line does not contain it.
func searchSecret(halves []string) error {
	secret := []byte(strings.Join(halves, ""))
	matches, searched := 0, 0
	search := func(place string, data []byte) {
		searched++
		if bytes.Contains(data, secret) {
			matches++
			fmt.Println("FOUND in", place)
		}
	}
	search("environment", []byte(strings.Join(os.Environ(), "\n")))
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // an unreadable file reveals nothing
		}
		// Other files of /proc, such as /proc/*/mem, have no end or no content.
		inProc := strings.HasPrefix(path, "/proc/") && !strings.HasSuffix(path, "/environ") && !strings.HasSuffix(path, "/cmdline") &&
			!strings.HasSuffix(path, "/mountinfo") && !strings.HasSuffix(path, "/net/unix")
		if strings.HasPrefix(path, "/proc/") && strings.Count(path, "/") > 3 || strings.HasPrefix(path, "/sys/kernel") && entry.IsDir() {
			if entry.IsDir() {
				return fs.SkipDir
			}
		}
		if inProc || !entry.Type().IsRegular() {
			return nil
		}
		if info, err := entry.Info(); err != nil || info.Size() > 64<<20 {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil {
			search(path, data)
		}
		return nil
	})
	fmt.Println("searched", searched > 10, "found", matches)
	return nil
}

// listSockets prints the path of every socket in the file system.
func listSockets([]string) error {
	return filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "/proc" || path == "/sys" {
			return fs.SkipDir
		}
		if entry.Type()&fs.ModeSocket != 0 {
			fmt.Println(path)
		}
		return nil
	})
}

// replaceEgressSocket tries to replace its own egress socket.
func replaceEgressSocket([]string) error {
	const dir, socket = "/run/airlock", "/run/airlock/egress.sock"
	for name, replace := range map[string]func() error{
		"remove":       func() error { return os.Remove(socket) },
		"rename":       func() error { return os.Rename(socket, dir+"/other") },
		"link over":    func() error { return os.Symlink("/tmp/x", dir+"/link") },
		"chmod":        func() error { return os.Chmod(dir, 0o777) },
		"rename above": func() error { return os.Rename(dir, "/run/mine") },
		"listen": func() error {
			_, err := new(net.ListenConfig).Listen(context.Background(), "unix", dir+"/mine.sock")
			return err
		},
	} {
		if replace() == nil {
			fmt.Println("SUCCEEDED:", name)
		}
	}
	fmt.Println("tried")
	return nil
}

// Places that two jobs on one host could share.
const (
	abstractSocket = "@airlock-trace"
	loopbackAddr   = "127.0.0.1:7777"
)

var traceFiles = []string{"/dev/shm/trace", "/tmp/trace", "/workspace/trace", "/home/agent/trace"}

// leaveTraces creates something in each of these places, and waits until the URL answers.
func leaveTraces(args []string) error {
	for _, address := range [][2]string{{"unix", abstractSocket}, {"tcp", loopbackAddr}} {
		listener, err := new(net.ListenConfig).Listen(context.Background(), address[0], address[1])
		if err != nil {
			return err
		}
		defer listener.Close()
	}
	for _, path := range traceFiles {
		if err := os.WriteFile(path, []byte("here"), 0o666); err != nil {
			return err
		}
	}
	return post(args)
}

// findTraces prints what it finds in these places, and the number of processes that it sees.
func findTraces([]string) error {
	for _, address := range [][2]string{{"unix", abstractSocket}, {"tcp", loopbackAddr}} {
		dialer := net.Dialer{Timeout: time.Second}
		if conn, err := dialer.DialContext(context.Background(), address[0], address[1]); err == nil {
			_ = conn.Close()
			fmt.Println("FOUND", address)
		}
	}
	for _, path := range traceFiles {
		if _, err := os.Stat(path); err == nil {
			fmt.Println("FOUND", path)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	fmt.Println("processes:", len(processes))
	return err
}

// lookupHosts looks up each name and prints the number of addresses and whether that failed.
func lookupHosts(names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, name := range names {
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		fmt.Println(name, len(addresses), err != nil)
	}
	return nil
}
