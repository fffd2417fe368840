package firestore

import (
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/listen"
)

// Listen watches documents and queries until the client hangs up or the server closes.
func (s *Server) Listen(stream pb.Firestore_ListenServer) error {
	ctx := stream.Context()
	requests := make(chan *pb.ListenRequest)
	// A blocked Recv ends only with the call, after this method has returned; so nobody can await it here. Its end is
	// certain: gRPC cancels the stream.
	go func() {
		defer close(requests)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	l := listen.NewStream(s.broadcaster, s.store, stream.Send)
	defer l.Close()
	for {
		var err error
		select {
		case r, ok := <-requests:
			if !ok { // no more requests: the client wants no more answers either
				return nil
			}
			err = l.HandleRequest(ctx, r)
		case <-l.Changed():
			err = l.SendChanges(ctx)
		case <-s.calls.closing:
			return status.Error(codes.Unavailable, "The server is closing.")
		}
		if err != nil {
			return err
		}
	}
}
