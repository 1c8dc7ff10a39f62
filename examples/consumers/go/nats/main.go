// Command nats handles the webhooks that hookbus publishes to NATS JetStream, each one once, in order.
//
//	NATS_URL=nats://127.0.0.1:4222 go run ./nats 'webhooks.audit1.>'
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/hookbus-consumers/events"
)

// handle is your work. If it fails, the event is not acknowledged and comes again.
func handle(e *event.Event) error {
	_, err := fmt.Println(e.Type(), e.ID())
	return err
}

// read takes either content mode. Attributes are percent-encoded in headers; the SDK leaves the decoding to us.
func read(ctx context.Context, message jetstream.Msg) (*event.Event, error) {
	headers := map[string]string{"content-type": message.Headers().Get("content-type")}
	for name, values := range message.Headers() {
		if !strings.HasPrefix(name, "ce-") {
			continue
		}
		value, err := url.PathUnescape(values[0])
		if err != nil {
			return nil, err
		}
		headers[name] = value
	}
	return events.Read(ctx, headers, message.Data())
}

func run(ctx context.Context, subject string) error {
	handled, err := events.Open(events.Setting("HANDLED", "handled.txt"))
	if err != nil {
		return err
	}
	connection, err := nats.Connect(events.Setting("NATS_URL", nats.DefaultURL), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, events.Setting("STREAM", "WEBHOOKS"), jetstream.ConsumerConfig{
		// One name for all instances of a service: the server remembers how far they are, and gives each event to one.
		Durable:       events.Setting("DURABLE", "example"),
		FilterSubject: subject,
		AckPolicy:     jetstream.AckExplicitPolicy,
		// An event that is not acknowledged after this long comes again. One at a time keeps the order, also then.
		AckWait:       5 * time.Second,
		MaxAckPending: 1,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		message, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		if errors.Is(err, nats.ErrTimeout) {
			continue // nothing came
		}
		if err != nil {
			log.Print(err) // the server is away: the client connects again by itself
			time.Sleep(time.Second)
			continue
		}
		event, err := read(ctx, message)
		if err != nil {
			return err
		}
		if err := handled.Once(event, handle); err != nil {
			return err
		}
		if err := message.Ack(); err != nil {
			return err
		}
	}
	return connection.Flush()
}

func main() {
	subject := "webhooks.>"
	if len(os.Args) > 1 {
		subject = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, subject); err != nil {
		log.Fatal(err)
	}
}
