package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

func cat(paths []string) error {
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// printSHA256 prints the SHA-256 and the size of each file.
func printSHA256(paths []string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		h := sha256.New()
		n, err := io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		fmt.Printf("%x %d\n", h.Sum(nil), n)
	}
	return nil
}

// read prints the content of a file, or "absent".
func read(args []string) error {
	data, err := os.ReadFile(args[0])
	if errors.Is(err, os.ErrNotExist) {
		fmt.Print("absent")
		return nil
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

// write writes the second argument to the file of the first.
func write(args []string) error {
	return os.WriteFile(args[0], []byte(args[1]), 0o600)
}

// ls prints each path's permissions, or the error.
func ls(paths []string) error {
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(info.Mode(), path)
	}
	return nil
}

// open tries to open each path for reading and for writing, and prints the results.
func open(paths []string) error {
	for _, path := range paths {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
			file, err := os.OpenFile(path, flag, 0)
			if err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Println("opened", path)
			_ = file.Close()
		}
	}
	return nil
}
