// Command kafka handles the webhooks that hookbus publishes to Apache Kafka, each one once, in the order of its key.
//
//	KAFKA_BROKERS=127.0.0.1:9092 go run ./kafka '^webhooks\.audit1\.'
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/hookbus-consumers/events"
)

// handle is your work. If it fails, the offset is not committed and the event comes again after the restart.
func handle(e *event.Event) error {
	_, err := fmt.Println(e.Type(), e.ID())
	return err
}

// read takes either content mode. Kafka spells ce_id what HTTP spells ce-id, and values stand as they are.
func read(ctx context.Context, record *kgo.Record) (*event.Event, error) {
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[strings.Replace(header.Key, "ce_", "ce-", 1)] = string(header.Value)
	}
	return events.Read(ctx, headers, record.Value)
}

func run(ctx context.Context, topics string) error {
	handled, err := events.Open(events.Setting("HANDLED", "handled.txt"))
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(events.Setting("KAFKA_BROKERS", "127.0.0.1:9092"), ",")...),
		// One name for all instances of a service: they share the partitions.
		kgo.ConsumerGroup(events.Setting("GROUP", "example")),
		// After this long without a sign of life an instance's partitions go to another.
		kgo.SessionTimeout(10*time.Second),
		// Topics that are made later are found after this long.
		kgo.MetadataMaxAge(time.Minute),
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics(topics),
		// A new group begins with the oldest event that the topics still have.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Only what is marked as handled is committed, in the background; the rest comes again after a crash.
		kgo.AutoCommitMarks(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetched := client.PollRecords(ctx, 1)
		if ctx.Err() != nil {
			return client.CommitMarkedOffsets(context.Background())
		}
		// The client goes on by itself.
		fetched.EachError(func(topic string, _ int32, err error) { log.Print(topic, ": ", err) })
		for _, record := range fetched.Records() {
			event, err := read(ctx, record)
			if err != nil {
				return err
			}
			if err := handled.Once(event, handle); err != nil {
				return err
			}
			client.MarkCommitRecords(record)
		}
	}
}

func main() {
	topics := `^webhooks\.`
	if len(os.Args) > 1 {
		topics = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, topics); err != nil {
		log.Fatal(err)
	}
}
