package firestore

import (
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
)

// Listen sends the changes of documents and queries until the client disconnects or the server closes.
func (s *Server) Listen(stream pb.Firestore_ListenServer) error {
	ctx := stream.Context()
	requests := make(chan *pb.ListenRequest)
	// A blocked Recv returns only after this method has returned, so this method cannot wait for the goroutine. It
	// always ends, because gRPC cancels the stream.
	go func() {
		defer close(requests)
		_ = s.calls.Recover("receive a request of Listen", func() error { // the end of requests ends the stream
			for {
				r, err := stream.Recv()
				if err != nil {
					return err
				}
				select {
				case requests <- r:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}()
	l := s.newListenStream(stream.Send)
	defer l.Close()
	for {
		var err error
		select {
		case r, ok := <-requests:
			if !ok { // the client has closed its side and expects no more responses
				return nil
			}
			err = l.HandleRequest(ctx, r)
		case <-l.Changed():
			err = l.SendChanges(ctx)
		case <-s.calls.Closing():
			return grpcserver.ErrShuttingDown
		}
		if err != nil {
			return err
		}
	}
}
