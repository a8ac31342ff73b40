print("murmur")
