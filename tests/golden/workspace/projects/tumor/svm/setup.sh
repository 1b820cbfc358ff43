apt-get install -y libgomp1
