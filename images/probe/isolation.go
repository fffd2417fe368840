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
			search(path, data)
		}
		return nil
	})
	fmt.Println("looked into", searched > 10, "found", matches)
	return nil
}

// sockets prints every socket that the file system shows.
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

// swap tries to put something else in the place of the own egress socket.
func replaceEgressSocket([]string) error {
	const folder, socket = "/run/airlock", "/run/airlock/egress.sock"
	for name, replace := range map[string]func() error{
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
		if replace() == nil {
			fmt.Println("SUCCEEDED:", name)
		}
	}
	fmt.Println("tried")
	return nil
}

// The places where two jobs of one host might meet.
const (
	abstractSocket = "@airlock-neighbour"
	shmFile        = "/dev/shm/neighbour"
	loopbackAddr   = "127.0.0.1:7777"
)

// settle leaves traces in all of those places, and holds them until the URL
// has answered.
func leaveTraces(args []string) error {
	for _, address := range [][2]string{{"unix", abstractSocket}, {"tcp", loopbackAddr}} {
		listener, err := new(net.ListenConfig).Listen(context.Background(), address[0], address[1])
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
func findTraces([]string) error {
	for _, address := range [][2]string{{"unix", abstractSocket}, {"tcp", loopbackAddr}} {
		dialer := net.Dialer{Timeout: time.Second}
		if conn, err := dialer.DialContext(context.Background(), address[0], address[1]); err == nil {
			_ = conn.Close()
			fmt.Println("FOUND", address)
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
func lookupHosts(names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, name := range names {
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		fmt.Println(name, len(addresses), err != nil)
	}
	return nil
}
