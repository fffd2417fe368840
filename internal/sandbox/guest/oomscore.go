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
	file     *os.File
	original []byte
}

const agentOOMScore = "1000" // the highest there is

func openOOMScore() (*oomScore, error) {
	file, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("own OOM score: %w", err)
	}
	original := make([]byte, 16)
	n, err := file.Read(original)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("own OOM score: %w", err)
	}
	return &oomScore{file: file, original: bytes.TrimSpace(original[:n])}, nil
}

// raised calls fork with the score that the agent is to inherit. Not every
// runtime lets a score be written (gVisor has its own memory accounting), and
// none is needed to run a job.
func (s *oomScore) runRaised(fork func() error) error {
	if _, err := s.file.WriteAt([]byte(agentOOMScore), 0); err == nil {
		defer func() { _, _ = s.file.WriteAt(s.original, 0) }()
	}
	return fork()
}

func (s *oomScore) Close() { _ = s.file.Close() }
