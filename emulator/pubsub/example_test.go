package pubsub_test

import (
	"context"
	"fmt"
	"log"
	"net"

	client "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

func Example() {
	server, err := pubsub.Open(pubsub.Options{}) // in memory
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
	topic, err := c.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: "projects/demo/topics/news"})
	if err != nil {
		log.Fatal(err)
	}
	sub, err := c.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: "projects/demo/subscriptions/reader", Topic: topic.Name,
	})
	if err != nil {
		log.Fatal(err)
	}
	p := c.Publisher(topic.Name)
	if _, err := p.Publish(ctx, &client.Message{Data: []byte("hello")}).Get(ctx); err != nil {
		log.Fatal(err)
	}
	p.Stop()
	receiveCtx, stop := context.WithCancel(ctx)
	err = c.Subscriber(sub.Name).Receive(receiveCtx, func(_ context.Context, m *client.Message) {
		fmt.Println(string(m.Data))
		m.Ack()
		stop()
	})
	if err != nil {
		log.Fatal(err)
	}

	c.Close()
	if err := server.Close(); err != nil { // before GracefulStop: it ends the streams
		log.Fatal(err)
	}
	g.GracefulStop()
	fmt.Println(<-served)
	// Output:
	// hello
	// <nil>
}
