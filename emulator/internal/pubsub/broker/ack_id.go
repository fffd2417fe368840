package broker

import (
	"encoding/base64"
	"encoding/binary"
)

// ackID identifies one delivery of a message.
type ackID struct {
	sub, seq, lease uint64
}

func (a ackID) String() string {
	var b [24]byte
	binary.BigEndian.PutUint64(b[0:], a.sub)
	binary.BigEndian.PutUint64(b[8:], a.seq)
	binary.BigEndian.PutUint64(b[16:], a.lease)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// parseAckID returns false if s is not a result of String.
func parseAckID(s string) (ackID, bool) {
	var b [24]byte
	if len(s) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return ackID{}, false
	}
	if _, err := base64.RawURLEncoding.Decode(b[:], []byte(s)); err != nil {
		return ackID{}, false
	}
	return ackID{
		binary.BigEndian.Uint64(b[0:]),
		binary.BigEndian.Uint64(b[8:]),
		binary.BigEndian.Uint64(b[16:]),
	}, true
}
