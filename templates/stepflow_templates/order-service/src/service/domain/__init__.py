"""What an order, a product and a saga are. Nothing in here knows of a database, a network or a clock."""
