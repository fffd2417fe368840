// Command probe is the agent of the sandbox's tests. Its first argument is a mode, which is an action in the sandbox,
// often a hostile one. It prints the result of the action. It judges nothing: the test decides what the result must be.
package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"time"
)

// modes are the actions by name. If a mode returns an error, the exit code is 1.
var modes = map[string]func(args []string) error{
	"echo":                      echo,
	"exit":                      exit,
	"read-wait-read":            readWaitRead,
	"start-time":                printStartTime,
	"sleep":                     sleep,
	"cat":                       cat,
	"write":                     write,
	"read":                      read,
	"ls":                        ls,
	"env":                       env,
	"write-stdout":              writeStdout,
	"ignore-signals":            ignoreSignals,
	"allocate":                  allocate,
	"allocate-in-child":         allocateInChild,
	"fill":                      fill,
	"fill-dirs":                 fillDirs,
	"sha256":                    printSHA256,
	"write-fds":                 writeFDs,
	"fork-bomb":                 forkBomb,
	"spawn-orphans":             spawnOrphans,
	"io-uring":                  ioUring,
	"orphan":                    orphan,
	"orphan-and-ignore-signals": orphanAndIgnoreSignals,
	"kill-self":                 killSelf,
	"write-stderr":              writeStderr,
	"signal-init":               signalInit,
	"limit-init":                limitInit,
	"write-init-files":          writeInitFiles,
	"slow-init":                 slowInit,
	"spin":                      spin,
	"close-dirs":                closeDirs,
	"exhaust-user-limits":       exhaustUserLimits,
	"exhaust-user-limit":        exhaustUserLimit,
	"use-user-limits":           useUserLimits,
	"spawn-sleepers":            spawnSleepers,
	"user":                      printUser,
	"open":                      open,
	"socket":                    socket,
	"dial":                      dial,
	"post":                      post,
	"fetch":                     fetch,
	"write-post-read":           writePostRead,
	"write-paths":               writePaths,
	"write-large-files":         writeLargeFiles,
	"write-many-files":          writeManyFiles,
	"work-until-terminated":     workUntilTerminated,
	"write-irregular-files":     writeIrregularFiles,
	"symlink":                   symlink,
	"forbidden-calls":           tryForbiddenCalls,
	"search-secret":             searchSecret,
	"list-sockets":              listSockets,
	"replace-egress-socket":     replaceEgressSocket,
	"leave-traces":              leaveTraces,
	"find-traces":               findTraces,
	"lookup-hosts":              lookupHosts,
	"print-dots":                printDots,
	"flood-egress":              floodEgress,
}

// startedAt is the earliest time that the program can read.
var startedAt = time.Now()

func main() {
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "probe: unknown mode")
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

// readWaitRead prints files as they are when it starts, its standard input, and the files as they are after that. While
// it waits, the name of its process is "waiting".
func readWaitRead(paths []string) error {
	for range 2 {
		for _, path := range paths {
			if err := read([]string{path}); err != nil {
				return err
			}
			fmt.Print(" ")
		}
		if err := os.WriteFile("/proc/self/comm", []byte("waiting"), 0); err != nil {
			return err
		}
		if err := echo(nil); err != nil {
			return err
		}
	}
	return nil
}

func exit(args []string) error {
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// sleep prints a line and then sleeps.
func sleep(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	fmt.Println("sleeping")
	time.Sleep(d)
	return nil
}

// printStartTime prints the start time of the program, in nanoseconds since 1970. Then it sleeps for the duration of
// the argument, if there is one.
func printStartTime(args []string) error {
	fmt.Println(startedAt.UnixNano())
	if len(args) == 0 {
		return nil
	}
	d, err := time.ParseDuration(args[0])
	time.Sleep(d)
	return err
}

// printUser prints the process's user and group, by their IDs and by their names.
func printUser([]string) error {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return err
	}
	g, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		return err
	}
	fmt.Println(u.Uid, u.Username, u.HomeDir, g.Gid, g.Name)
	return nil
}

func env([]string) error {
	for _, entry := range os.Environ() {
		fmt.Println(entry)
	}
	return nil
}
