package store

import "encoding/binary"

// The first byte of a key says what the record holds. Numbers in keys are big-endian, so that keys sort like them.
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
