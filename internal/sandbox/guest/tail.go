package guest

// tail keeps the last bytes of what is written to it, up to its size.
type tail struct {
	size int
	kept []byte
}

func (t *tail) write(p []byte) error {
	if len(p) > t.size {
		p = p[len(p)-t.size:]
	}
	if over := len(t.kept) + len(p) - t.size; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.kept = append(t.kept, p...)
	return nil
}
