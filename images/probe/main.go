// Command probe is the agent of the sandbox's tests: it does to the sandbox
// what the test tells it to, and prints what came of it.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// modes are what the first argument may be. A mode that fails exits 1.
var modes = map[string]func(args []string) error{
	"echo":            echo,
	"exit":            exit,
	"now":             printStartTime,
	"sleep":           sleep,
	"cat":             cat,
	"write":           write,
	"read":            read,
	"ls":              ls,
	"env":             env,
	"spam":            writeStdout,
	"stubborn":        ignoreSignals,
	"allocate":        allocate,
	"child-oom":       allocateInChild,
	"fill":            fill,
	"fill-folder":     fillFolder,
	"write-fds":       writeFDs,
	"fork-bomb":       forkBomb,
	"beget-orphans":   spawnOrphans,
	"io-uring":        ioUring,
	"orphan":          orphan,
	"orphan-and-wait": orphanAndIgnoreSignals,
	"kill-self":       killSelf,
	"complain":        writeStderr,
	"signal-init":     signalInit,
	"open":            open,
	"socket":          socket,
	"dial":            dial,
	"post":            post,
	"meet":            writePostRead,
	"leave":           writePaths,
	"leave-large":     writeLargeFiles,
	"leave-many":      writeManyFiles,
	"leave-odd":       writeIrregularFiles,
	"link":            symlink,
	"forbidden":       tryForbiddenCalls,
	"hunt":            searchSecret,
	"sockets":         listSockets,
	"swap":            replaceEgressSocket,
	"settle":          leaveTraces,
	"seek":            findTraces,
	"resolve":         lookupHosts,
	"tick":            printDots,
}

// began is as early as a program can tell.
var startedAt = time.Now()

func main() {
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "probe: no such mode")
		os.Exit(64)
	}
	if err := modes[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// echo copies standard input to standard output.
func echo([]string) error {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return err
}

func exit(args []string) error {
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// sleep says that it runs, and then waits.
func sleep(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	fmt.Println("sleeping")
	time.Sleep(d)
	return nil
}

// now prints when the program began, in nanoseconds since 1970, and stays for
// the argument's duration, if there is one.
func printStartTime(args []string) error {
	fmt.Println(startedAt.UnixNano())
	if len(args) == 0 {
		return nil
	}
	d, err := time.ParseDuration(args[0])
	time.Sleep(d)
	return err
}

func env([]string) error {
	for _, entry := range os.Environ() {
		fmt.Println(entry)
	}
	return nil
}
