// Package events reads the messages of hookbus as CloudEvents and remembers which of them were handled.
package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// Read takes a message in either content mode. The headers are named as in CloudEvents' HTTP binding: ce-id, ce-type, …
func Read(ctx context.Context, headers map[string]string, body []byte) (*event.Event, error) {
	canonical := http.Header{}
	for name, value := range headers {
		canonical.Set(name, value)
	}
	// In binary mode NATS has the body's media type among the attributes.
	if canonical.Get("Content-Type") == "" {
		canonical.Set("Content-Type", headers["ce-datacontenttype"])
	}
	canonical.Del("ce-datacontenttype")
	return binding.ToEvent(ctx, cehttp.NewMessage(canonical, io.NopCloser(bytes.NewReader(body))))
}

// Handled remembers which events were handled, so that a repeat does no harm.
//
// Delivery is at least once, and (type, source, id) is what a repeat has in common with the first copy: an event that
// leaves quarantine keeps its id and gets its type. Here it is a file; in your service make it a table, written in the
// same transaction as the effect: then even a crash in between repeats nothing.
type Handled struct {
	file *os.File
	keys map[string]bool
}

// Open reads what was handled before.
func Open(path string) (*Handled, error) {
	handled := &Handled{keys: map[string]bool{}}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	for _, line := range strings.Split(string(whole), "\n") {
		handled.keys[line] = true
	}
	if handled.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	// Torn by a crash: that event comes again.
	return handled, handled.file.Truncate(int64(len(whole)))
}

// Once handles an event unless it was handled before.
func (h *Handled) Once(e *event.Event, handle func(*event.Event) error) error {
	key := e.Type() + "\t" + e.Source() + "\t" + e.ID()
	if h.keys[key] {
		return nil
	}
	if err := handle(e); err != nil {
		return err
	}
	h.keys[key] = true
	_, err := fmt.Fprintln(h.file, key)
	return err
}

// Setting is an environment variable or its default.
func Setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
