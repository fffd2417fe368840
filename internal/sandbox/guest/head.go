package guest

import "github.com/airlock-run/airlock/internal/sandbox/frame"

// head reports the first bytes of what is written to it and drops the rest.
type head struct {
	remaining int64
	reports   *frame.Writer
}

func (h *head) write(p []byte) error {
	p = p[:min(int64(len(p)), h.remaining)]
	if len(p) == 0 {
		return nil
	}
	h.remaining -= int64(len(p))
	return h.reports.Write(frame.Report{Kind: frame.Stdout, Body: p})
}
