package guest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// input is the agent's standard input: a file with all of it, or, for an agent that is started ahead, a pipe, at whose
// other end the agent waits.
type input struct {
	agent *os.File // the agent's end
	pipe  *os.File // init's end of the pipe; nil: it is a file
}

func newInput(dir string, ahead bool) (*input, error) {
	if !ahead {
		file, err := createUnlinked(dir, 0)
		return &input{agent: file}, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil { // os.Pipe would make the agent's end non-blocking
		return nil, fmt.Errorf("agent input: %w", err)
	}
	return &input{agent: os.NewFile(uintptr(ends[0]), "stdin"), pipe: os.NewFile(uintptr(ends[1]), "stdin")}, nil
}

// pipeSize is how much a pipe of Linux holds.
const pipeSize = 64 << 10

// unread reports whether an agent that was started ahead has read nothing of an input. It is called when the agent has
// ended: init keeps its copy of the agent's end for that.
func (in *input) unread(content []byte) bool {
	if in.pipe == nil || len(content) == 0 {
		return false
	}
	left, err := unix.IoctlGetInt(int(in.agent.Fd()), unix.TIOCINQ)
	return err == nil && left >= min(len(content), pipeSize)
}

// write writes the complete input: to the file before it returns, to the pipe in the background, because the agent may
// not read it.
func (in *input) write(content []byte) error {
	if in.pipe != nil {
		go func() {
			_, _ = in.pipe.Write(content) // stays here if the agent has ended before it has read all
			_ = in.pipe.Close()
		}()
		return nil
	}
	if _, err := in.agent.WriteAt(content, 0); err != nil {
		return fmt.Errorf("agent input: %w", err)
	}
	return nil
}

func (in *input) Close() {
	_ = in.agent.Close()
	if in.pipe != nil {
		_ = in.pipe.Close()
	}
}
