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

// hunt looks for a secret in everything that can be read. The secret comes in
// two halves, so that it is in no argument of our own.
func hunt(halves []string) error {
	secret := []byte(strings.Join(halves, ""))
	found, read := 0, 0
	look := func(what string, data []byte) {
		read++
		if bytes.Contains(data, secret) {
			found++
			fmt.Println("FOUND in", what)
		}
	}
	look("environment", []byte(strings.Join(os.Environ(), "\n")))
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is no place to find anything
		}
		// /proc/*/mem and the like are not regular files to read to an end.
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
			look(path, data)
		}
		return nil
	})
	fmt.Println("looked into", read > 10, "found", found)
	return nil
}

// sockets prints every socket that the file system shows.
func sockets([]string) error {
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

// swap tries to put something else in the place of the own egress socket.
func swap([]string) error {
	const folder, socket = "/run/airlock", "/run/airlock/egress.sock"
	for name, try := range map[string]func() error{
		"remove":       func() error { return os.Remove(socket) },
		"rename":       func() error { return os.Rename(socket, folder+"/other") },
		"link over":    func() error { return os.Symlink("/tmp/x", folder+"/link") },
		"chmod":        func() error { return os.Chmod(folder, 0o777) },
		"rename above": func() error { return os.Rename(folder, "/run/mine") },
		"listen": func() error {
			_, err := new(net.ListenConfig).Listen(context.Background(), "unix", folder+"/mine.sock")
			return err
		},
	} {
		if try() == nil {
			fmt.Println("SUCCEEDED:", name)
		}
	}
	fmt.Println("tried")
	return nil
}

// The places where two jobs of one host might meet.
const (
	abstractName = "@airlock-neighbour"
	shmFile      = "/dev/shm/neighbour"
	loopback     = "127.0.0.1:7777"
)

// settle leaves traces in all of those places, and holds them until the URL
// has answered.
func settle(args []string) error {
	for _, at := range [][2]string{{"unix", abstractName}, {"tcp", loopback}} {
		listener, err := new(net.ListenConfig).Listen(context.Background(), at[0], at[1])
		if err != nil {
			return err
		}
		defer listener.Close()
	}
	for _, path := range []string{shmFile, "/tmp/neighbour", "/workspace/neighbour", "/home/agent/neighbour"} {
		if err := os.WriteFile(path, []byte("here"), 0o666); err != nil {
			return err
		}
	}
	return post(args)
}

// seek looks for what settle leaves.
func seek([]string) error {
	for _, at := range [][2]string{{"unix", abstractName}, {"tcp", loopback}} {
		dialer := net.Dialer{Timeout: time.Second}
		if conn, err := dialer.DialContext(context.Background(), at[0], at[1]); err == nil {
			_ = conn.Close()
			fmt.Println("FOUND", at)
		}
	}
	for _, path := range []string{shmFile, "/tmp/neighbour", "/workspace/neighbour", "/home/agent/neighbour"} {
		if _, err := os.Stat(path); err == nil {
			fmt.Println("FOUND", path)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	fmt.Println("processes:", len(processes))
	return err
}

// resolve asks for the address of each name.
func resolve(names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, name := range names {
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		fmt.Println(name, len(addresses), err != nil)
	}
	return nil
}
