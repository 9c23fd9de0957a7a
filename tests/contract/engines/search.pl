# Searches for patterns in Perl. test_patterns.py describes input and output.
use strict;
use warnings FATAL => "all";

chomp(my ($count, @rest) = <STDIN>);
my @decoded = map { join "", map { chr hex } split / / } @rest;
my @patterns = map { qr/$_/ } splice @decoded, 0, $count;
for my $pattern (@patterns) {
    print map({ $_ =~ $pattern ? "1" : "0" } @decoded), "\n";
}
