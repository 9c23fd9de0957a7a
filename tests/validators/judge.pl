# Judges JSON texts as JSON::Validator does, from Debian's libjson-validator-perl. judge.mjs says what is read and
# written.
use strict;
use warnings;
use JSON::Validator;
use Mojo::JSON qw(decode_json encode_json false true);
use Mojo::Util qw(encode);

my $given = decode_json(do { local $/; <STDIN> });
my %compiled = map { $_ => JSON::Validator->new->schema($given->{schemas}{$_})->schema } keys %{$given->{schemas}};

sub judge {
  my ($name, $text) = @{$_[0]};
  my $value = eval { decode_json(encode('UTF-8', $text)) };
  return undef if $@;
  return $compiled{$name}->validate($value) ? false : true;
}

print encode_json([map { judge($_) } @{$given->{texts}}]);
