# Listens on $PORT of loopback and closes whatever connects: 2 MB and 20 ms, for tests with very many.
use Socket;
socket(S, PF_INET, SOCK_STREAM, 0) or die $!;
setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1) or die $!;
bind(S, sockaddr_in($ENV{PORT}, INADDR_LOOPBACK)) or die $!;
listen(S, 64) or die $!;
close C while accept(C, S);
