package guest

// tail keeps the last bytes of what is written to it, up to its size.
type tail struct {
	size int
	buf  []byte
}

func (t *tail) write(p []byte) error {
	if len(p) > t.size {
		p = p[len(p)-t.size:]
	}
	if over := len(t.buf) + len(p) - t.size; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.buf = append(t.buf, p...)
	return nil
}
