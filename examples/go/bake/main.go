// bake writes a history of one run, for a database with the recipe chocolate-chip-cookies and its unit cookie:
// bake FILE
package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"example.com/history"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bake FILE")
		os.Exit(2)
	}
	if err := bake(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func bake(path string) error {
	out, err := history.Create(path, history.Header{Kinds: []string{"production_run"}})
	if err != nil {
		return err
	}
	defer out.Abort() // does nothing after Close
	notes := "The oven <left> & the \"right\" one:\u2028both 180\u00b0C \u2615"
	now := history.Timestamp(time.Now())
	stamps := history.Stamps{CreatedAt: now, UpdatedAt: now}
	run := history.ProductionRun{
		UUID: newUUID(), RecipeSlug: "chocolate-chip-cookies", FinishedUnitSlug: "cookie",
		NumBatches: 2, ExpectedYield: 96, ActualYield: 92, ProducedAt: now, Notes: &notes,
		TotalIngredientCost: "5.25", PerUnitCost: "0.0571", Stamps: stamps,
		Consumptions: []history.Consumption{{
			UUID: newUUID(), IngredientSlug: "flour", QuantityConsumed: "1.2", Unit: "kg", TotalCost: "1.38", Stamps: stamps,
		}},
	}
	if err := out.Write(run); err != nil {
		return err
	}
	return out.Close()
}

func newUUID() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic(err)
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
