<?php
// Searches for patterns in PHP, which uses PCRE. test_patterns.py describes input and output.
function decoded(string $line): string
{
    return iconv("UTF-32BE", "UTF-8", pack("N*", ...array_map("hexdec", $line === "" ? [] : explode(" ", $line))));
}

$lines = array_slice(explode("\n", stream_get_contents(STDIN)), 0, -1);
$decoded = array_map("decoded", array_slice($lines, 1));
$texts = array_slice($decoded, (int) $lines[0]);
foreach (array_slice($decoded, 0, (int) $lines[0]) as $pattern) {
    foreach ($texts as $text) {
        $found = preg_match("\x01" . $pattern . "\x01u", $text);
        if ($found === false) {
            throw new Exception(preg_last_error_msg() . ": " . json_encode($pattern));
        }
        echo $found;
    }
    echo "\n";
}
