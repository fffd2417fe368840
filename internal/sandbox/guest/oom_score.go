package guest

import (
	"bytes"
	"fmt"
	"os"
)

// oomScore makes the kernel kill the agent's processes, and not init, when the container is out of memory. Init can
// then report it. file is init's own score: child processes inherit the value that it has at the fork.
type oomScore struct {
	file     *os.File
	original []byte
}

const agentOOMScore = "1000" // the highest value

func openOOMScore() (*oomScore, error) {
	file, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open OOM score of init: %w", err)
	}
	original := make([]byte, 16)
	n, err := file.Read(original)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("read OOM score of init: %w", err)
	}
	return &oomScore{file: file, original: bytes.TrimSpace(original[:n])}, nil
}

// runRaised calls fork while init has the score that the agent inherits. It ignores a score that cannot be written:
// gVisor, with its own memory accounting, refuses it, and the job needs none to run.
func (s *oomScore) runRaised(fork func() error) error {
	if _, err := s.file.WriteAt([]byte(agentOOMScore), 0); err == nil {
		defer func() { _, _ = s.file.WriteAt(s.original, 0) }()
	}
	return fork()
}

func (s *oomScore) Close() { _ = s.file.Close() }
