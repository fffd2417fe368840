package store

import "encoding/binary"

// The key spaces. Numbers in keys are big-endian, so that keys sort as they do.
const (
	epochKey      byte = 'e' // -> uvarint
	messageSpace  byte = 'm' // message -> topic, body
	snapshotSpace byte = 'n' // name -> snapshot
	entrySpace    byte = 'p' // subscription, message -> entry
	subSpace      byte = 's' // name -> subscription
	topicSpace    byte = 't' // name -> topic
	lastUsedSpace byte = 'x' // subscription -> time of last use
)

func nameKey(space byte, name string) []byte {
	return append([]byte{space}, name...)
}

func numberKey(space byte, n ...uint64) []byte {
	k := make([]byte, 1, 1+8*len(n))
	k[0] = space
	for _, n := range n {
		k = binary.BigEndian.AppendUint64(k, n)
	}
	return k
}

// bounds are the limits of all keys that begin with prefix.
func prefixBounds(prefix []byte) (from, to []byte) {
	to = append([]byte(nil), prefix...)
	for i := len(to) - 1; i >= 0; i-- {
		if to[i]++; to[i] != 0 {
			return prefix, to[:i+1]
		}
	}
	return prefix, nil
}
