package name

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// The first byte of each encoded ID. There is no mark at the end of a path, so that the encoding of a path is a prefix
// of the encodings of all paths below it.
const (
	numericTag = 0x01
	stringTag  = 0x02
)

// ErrMalformedKey reports bytes that are not an encoded path.
var ErrMalformedKey = errors.New("name: malformed key")

// NumericID returns the number of an ID of the form __id7__, the form of numeric keys imported from Datastore.
func NumericID(id string) (int64, bool) {
	s, ok := strings.CutPrefix(id, "__id")
	if !ok {
		return 0, false
	}
	s, ok = strings.CutSuffix(s, "__")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// AppendKey appends the encoded path. The bytes of encoded paths order as Compare does.
func AppendKey(b []byte, p Path) []byte {
	for _, id := range p {
		if n, ok := NumericID(id); ok {
			b = append(b, numericTag)
			b = binary.BigEndian.AppendUint64(b, uint64(n)^1<<63)
			continue
		}
		b = append(b, stringTag)
		b = AppendString(b, id)
	}
	return b
}

// ParseKey decodes a path from all of b.
func ParseKey(b []byte) (Path, error) {
	p := make(Path, 0, 8)
	for len(b) > 0 {
		tag := b[0]
		b = b[1:]
		switch tag {
		case numericTag:
			if len(b) < 8 {
				return nil, ErrMalformedKey
			}
			n := int64(binary.BigEndian.Uint64(b) ^ 1<<63)
			p = append(p, "__id"+strconv.FormatInt(n, 10)+"__")
			b = b[8:]
		case stringTag:
			s, rest, err := ParseString(b)
			if err != nil {
				return nil, err
			}
			p, b = append(p, s), rest
		default:
			return nil, ErrMalformedKey
		}
	}
	return p, nil
}

// AppendString appends the encoded string: a zero byte becomes 00 ff, and 00 01 marks the end. The bytes of encoded
// strings order as the strings do, and none is a prefix of another.
func AppendString(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		b = append(b, 0x00, 0xff)
		s = s[i+1:]
	}
	b = append(b, s...)
	return append(b, 0x00, 0x01)
}

// ParseString decodes a string that AppendString has encoded, and returns the rest of b.
func ParseString(b []byte) (string, []byte, error) {
	var s []byte
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			continue
		}
		if i+1 >= len(b) {
			break
		}
		switch b[i+1] {
		case 0x01:
			return string(append(s, b[:i]...)), b[i+2:], nil
		case 0xff:
			s = append(append(s, b[:i]...), 0)
			b, i = b[i+2:], -1
		default:
			return "", nil, ErrMalformedKey
		}
	}
	return "", nil, ErrMalformedKey
}
