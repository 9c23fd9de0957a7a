// copy reads a stream and writes its rows and runs again, as a writer has to write them: copy IN OUT
package main

import (
	"fmt"
	"log"
	"os"

	"example.com/history"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: copy IN OUT")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	file, err := history.Open(in)
	if err != nil {
		return err
	}
	stream, err := file.Stream()
	if err != nil {
		return err
	}
	out, err := history.Create(to, stream.Header)
	if err != nil {
		return err
	}
	defer out.Abort() // does nothing after Close
	for stream.Next() {
		if stream.Line.Err != nil {
			return fmt.Errorf("line %d: %w", stream.Line.Number, stream.Line.Err)
		}
		if err := out.Write(stream.Line.Value); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return out.Close()
}
