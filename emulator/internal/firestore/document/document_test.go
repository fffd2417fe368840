package document_test

import (
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

func sample() *document.Document {
	inner := &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: map[string]*pb.Value{
		"x": {ValueType: &pb.Value_IntegerValue{IntegerValue: 1}},
	}}}}
	return &document.Document{Path: name.Path{"c", "d"}, Fields: map[string]*pb.Value{"m": inner}, CreateTime: 5, UpdateTime: 7}
}

func TestEncodeDecodeRoundTrip(t *testing.T) {
	b, err := sample().Encode()
	require.NoError(t, err)
	back, err := document.Decode(name.Path{"c", "d"}, b)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(sample(), back, protocmp.Transform()))
}

func TestTimesAreTruncatedToMicroseconds(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 123456789, time.UTC)
	require.Equal(t, at.Truncate(time.Microsecond), document.TimeOf(at).Proto().AsTime())
	require.Equal(t, document.TimeOf(at), document.ParseTime(document.TimeOf(at).Proto()))
	require.Zero(t, document.ParseTime(nil))
}

func TestCloneFieldsIsIndependent(t *testing.T) {
	d := sample()
	clone := d.CloneFields()
	clone["m"].GetMapValue().Fields["x"] = nil
	clone["n"] = nil
	require.Empty(t, cmp.Diff(sample(), d, protocmp.Transform()))
	require.NotNil(t, (*document.Document)(nil).CloneFields())
}

func FuzzDecode(f *testing.F) {
	b, err := sample().Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Add(b[:17])
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := document.Decode(name.Path{"c", "d"}, b)
		if err != nil {
			require.ErrorIs(t, err, document.ErrCorrupt)
			return
		}
		again, err := d.Encode()
		require.NoError(t, err)
		back, err := document.Decode(d.Path, again)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(d, back, protocmp.Transform()))
	})
}
