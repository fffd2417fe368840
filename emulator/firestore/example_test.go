package firestore_test

import (
	"context"
	"fmt"
	"log"
	"net"

	client "cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/firestore"
)

func Example() {
	server, err := firestore.Open(firestore.Options{}) // in memory
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g := emulator.NewServer(server)
	served := make(chan error)
	go func() { served <- g.Serve(l) }()

	ctx := context.Background()
	c, err := client.NewClient(ctx, "demo", option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		log.Fatal(err)
	}
	for name, born := range map[string]int{"Ada": 1815, "Grace": 1906} {
		if _, err := c.Collection("users").Doc(name).Set(ctx, map[string]any{"born": born}); err != nil {
			log.Fatal(err)
		}
	}
	users, err := c.Collection("users").Where("born", "<", 1900).Documents(ctx).GetAll()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(users), users[0].Ref.ID)

	c.Close()
	if err := server.Close(); err != nil { // before GracefulStop: it ends the streams
		log.Fatal(err)
	}
	g.GracefulStop()
	fmt.Println(<-served)
	// Output:
	// 1 Ada
	// <nil>
}
