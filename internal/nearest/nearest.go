// Package nearest finds what somebody meant who mistyped a word.
package nearest

// Word is the one among words that differs least from word, by fewer letters
// than 3 and than half of word; "" if none does.
func Word(word string, words []string) string {
	best, least := "", min(3, len(word)/2+1)
	for _, w := range words {
		if d := distance(word, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to be put in, left out or changed, or exchanged
// with the next (Damerau and Levenshtein).
func distance(a, b string) int {
	var rows [3][]int // of the letter before the last, the last, and this
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[2] {
		rows[2][j] = j
	}
	for i := range len(a) {
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
		rows[2][0] = i + 1
		for j := range len(b) {
			cost := rows[1][j]
			if a[i] != b[j] {
				cost = 1 + min(rows[1][j], rows[2][j], rows[1][j+1])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, rows[0][j-1]+1)
			}
			rows[2][j+1] = cost
		}
	}
	return rows[2][len(b)]
}
