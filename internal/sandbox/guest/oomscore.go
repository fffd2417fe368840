package guest

import (
	"bytes"
	"fmt"
	"os"
)

// oomScore makes the agent's processes, not init, the kernel's choice when the
// container is out of memory, so that init lives to tell. The file is that of
// init itself: children inherit what it holds when they are forked.
type oomScore struct {
	file *os.File
	own  []byte
}

const agentOOMScore = "1000" // the highest there is

func openOOMScore() (*oomScore, error) {
	file, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("own OOM score: %w", err)
	}
	own := make([]byte, 16)
	n, err := file.Read(own)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("own OOM score: %w", err)
	}
	return &oomScore{file: file, own: bytes.TrimSpace(own[:n])}, nil
}

// raised calls fork with the score that the agent is to inherit. Not every
// runtime lets a score be written (gVisor has its own memory accounting), and
// none is needed to run a job.
func (s *oomScore) raised(fork func() error) error {
	if _, err := s.file.WriteAt([]byte(agentOOMScore), 0); err == nil {
		defer func() { _, _ = s.file.WriteAt(s.own, 0) }()
	}
	return fork()
}

func (s *oomScore) Close() { _ = s.file.Close() }
